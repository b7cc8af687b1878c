"""The benchmark behind the table in the README: `python -m tests.bench [NAME ...] [--quick] [--write]`.

Nothing here is a timed test. Every contender and every server is a process of its own on loopback, in a data folder
that is thrown away. A contender that did less than the whole work ends the run (`Wrong`): a fast wrong answer is no
result.
"""
