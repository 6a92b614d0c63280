"""Every error that Velatura raises on purpose.

::

    VelaturaError            one clear line: what was expected, what was got, what to do
    ├── InputError           a setting or an argument is wrong (also a ValueError)
    │   └── ContractError    a tensor breaks the contract: float32 (B, 3, H, W) in [0, 1]
    ├── ImageError           a file cannot be read, decoded, protected or written
    │   └── ImageTooLarge    it has more pixels than are taken
    ├── WeightsError         a model is unknown, missing, corrupt, or may not be downloaded now
    ├── MissingExtra         an optional dependency is not installed (names the pip line)
    └── Cancelled            ``on_step`` asked to stop; nothing was written
"""


class VelaturaError(Exception):
    """Base of all errors that are meant to be shown to a person as one line."""


class InputError(VelaturaError, ValueError):
    """A setting or an argument is wrong."""


class ContractError(InputError):
    """A tensor is not float32, (B, 3, H, W), in [0, 1]."""


class ImageError(VelaturaError):
    """A picture cannot be read, decoded, protected or written."""


class ImageTooLarge(ImageError):
    """A picture has more pixels than are taken."""


class WeightsError(VelaturaError):
    """A model is unknown, missing, corrupt, or may not be downloaded now."""


class MissingExtra(VelaturaError):
    """An optional dependency is missing."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra that is not installed: pip install 'velatura[{extra}]'")
        self.extra = extra


class Cancelled(VelaturaError):
    """Raised by ``on_step`` to stop; whoever raises it has written nothing."""
