ARG VERSION=1
ARG BASE=host://sh,coreutils
FROM $BASE AS tool
LABEL tool=yes
