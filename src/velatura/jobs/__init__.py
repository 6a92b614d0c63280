"""Jobs that outlive the process that was asked for them: batches, previews, deletion of what has expired.

``JobQueue`` takes orders and shows how they stand; ``worker`` carries them out, one picture at a time, through DBOS
workflows; ``Store`` is the tables that both look at. Only the worker loads torch. Needs the extra ``web``.
"""

from importlib.util import find_spec

from velatura.errors import MissingExtra

if find_spec("dbos") is None:
    raise MissingExtra("working through jobs in the background", "web")
