"""`kart tree`."""

from __future__ import annotations


def test_tree_draws_each_shared_subtree_once(small_project, kart, several):
    small_project({"src/PKG/tasks/several.py": several})
    kart("run", "Numbers")
    typed = kart("tree", "Compare")
    assert typed.lines == [
        "Compare  to run",
        "├── Model(kind=tree)  to run",
        "│   └── Numbers  done",
        "├── Model(kind=forest)  to run",
        "│   └── Numbers  done",
        "└── Total  to run",
        "    └── Numbers  done",
        "5 tasks: 4 to run, 1 complete",
    ]


def test_tree_says_where_a_subtree_is_drawn(small_project, kart):
    shared = """
        from kart_runtime import TaskOnKart
        from PKG.tasks.numbers import Total

        class Left(TaskOnKart[int]):
            def requires(self):
                return Total()

        class Top(TaskOnKart[int]):
            def requires(self):
                return [Left(), Total()]
        """
    small_project({"src/PKG/tasks/shared.py": shared})
    assert kart("tree", "Top").lines[:-1] == [
        "Top  to run",
        "├── Left  to run",
        "│   └── Total  to run",
        "│       └── Numbers  to run",
        "└── Total  to run (drawn above)",
    ]


def test_a_deep_tree_is_drawn(small_project, kart):
    chain = """
        import luigi
        from kart_runtime import TaskOnKart

        class Link(TaskOnKart[int]):
            n: int = luigi.IntParameter(default=1500)

            def requires(self):
                return [Link(n=self.n - 1)] if self.n else []
        """
    small_project({"src/PKG/tasks/chain.py": chain})
    assert len(kart("tree", "Link").lines) == 1502
