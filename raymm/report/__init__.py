"""Tables, figures and sentences from the results of a sweep."""
