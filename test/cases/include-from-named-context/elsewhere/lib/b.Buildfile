LABEL b=yes
