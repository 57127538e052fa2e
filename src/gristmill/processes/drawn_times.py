"""Which times a picture can have on its axis: those that Matplotlib can label with some room on both sides."""

ARE_DRAWN = "BETWEEN TIMESTAMP '0001-01-08' AND TIMESTAMP '9999-12-30'"
NOT_DRAWN = "before 0001-01-08 or after 9999-12-30"
