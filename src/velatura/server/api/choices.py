"""What can be chosen from: target styles and models."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response

from velatura.server import catalogue
from velatura.server.api.parts import FOR_A_DAY, NOT_FOUND
from velatura.server.schema import ModelOut, StyleOut


def add_choices(api: APIRouter) -> None:
    """Routes under /styles and /models."""

    @api.get("/styles")
    def styles() -> list[StyleOut]:
        """The target styles that can be asked for, each with its nearest neighbours."""
        return catalogue.styles()

    @api.get("/styles/{name}/swatch", response_class=Response, responses=NOT_FOUND)
    def swatch(name: str) -> Response:
        """A WebP of a made-up motif in the manner of a style; no picture of anyone's."""
        data = catalogue.swatch(name)
        if data is None:
            raise HTTPException(404, "style: there is no swatch of it")
        return Response(data, media_type="image/webp", headers=FOR_A_DAY)

    @api.get("/models")
    def models() -> list[ModelOut]:
        """The models that a cloak can be made against; those that are not here: velatura models pull NAME."""
        return catalogue.models()
