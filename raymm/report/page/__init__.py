"""`report.html`: one page without anything from elsewhere, to be opened from disk and printed."""
