"""Text forms of a task's record: what is written is read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kart_runtime.history.task_record import TaskRecord, from_line, to_line
from kart_runtime.storage.target import OutputRecord

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\x1e\x1f\x00"), max_size=20)
outputs = st.builds(OutputRecord, texts, st.integers(0, 1 << 60), texts, texts)


@given(
    st.builds(
        TaskRecord,
        st.text("0123456789abcdef", min_size=32, max_size=32),
        texts,
        texts,
        texts,
        texts,
        texts,
        st.lists(outputs, min_size=1, max_size=3).map(tuple),
        st.none() | st.dictionaries(texts, texts.filter(bool), max_size=3).filter(lambda inputs: list(inputs) != ["-"]),
        texts,
    )
)
def test_a_line_of_the_index_is_the_record(record):
    line = to_line(record)
    assert line is not None
    assert from_line(line) == record
