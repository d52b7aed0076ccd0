"""Template of a project: generation by `kart new`, and three-way updates by `kart update`.

::

    record (.kart-template.json) ─▶ sources (old and new template) ─▶ render ─▶ merge ─▶ apply ─▶ environment

Only the commands of the same names and `kart check` import it.
"""
