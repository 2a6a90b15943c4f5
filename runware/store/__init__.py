"""Durable work: tasks are written to a database before they are sent, so that nothing is lost when the program dies.

`Runware(store="sqlite:///jobs.db")` needs the extra `store`. Nothing here is imported without that option.
"""
