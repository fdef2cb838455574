LABEL a=yes
INCLUDE b.Buildfile
