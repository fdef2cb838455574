LABEL one=yes
INCLUDE more/two.Buildfile
INCLUDE ../beside.Buildfile
