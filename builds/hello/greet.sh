#!/bin/sh
echo "hello, $GREETED, from a container on $(cat /app/machine)"
