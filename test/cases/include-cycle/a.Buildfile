LABEL a=b
INCLUDE sub/b.Buildfile
