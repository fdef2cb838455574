LABEL a=b
