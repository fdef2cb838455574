INCLUDE ../a.Buildfile
