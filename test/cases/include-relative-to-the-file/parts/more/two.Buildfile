LABEL two=yes
