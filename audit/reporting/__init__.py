"""The report on a log or export that people read: counted, drawn, written as HTML or PDF."""
