"""What docs/build.py fills into the pages, a file a subject."""
