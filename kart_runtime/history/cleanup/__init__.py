"""Deletion of files from workspaces, for `kart clean`, `kart gc` and gokart's `delete_unnecessary_outputs`.

`files` maps the urls in records to files of a workspace and deletes them, `local_files` walks a folder of this machine,
`recorded` lists the files that records name, and `garbage` those of them that no retained run uses (`retention`).
"""
