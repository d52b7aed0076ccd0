"""Edits of a project's files that leave every other byte as it is: for `kart migrate`, and to move tasks."""
