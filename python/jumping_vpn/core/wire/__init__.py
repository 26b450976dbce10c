"""The control messages: their types, their codec and their sizes."""
