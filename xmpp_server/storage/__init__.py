"""What the server keeps, and the only place that knows SQL.

`Store` is the way in. A repository is one file and one class for each feature, with addresses and frozen dataclasses at
its interface; its tables and statements stand beside it. Times are UTC in microseconds since 1970.
"""
