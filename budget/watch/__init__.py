"""A live view of what runs and what it costs: `budget watch`.

`facts` reads, off the screen's thread and for looking only; `follow` tells when there is news;
`words` and `plot` put it into text; `app` and its screens show it, `plain` prints it as lines.
"""
