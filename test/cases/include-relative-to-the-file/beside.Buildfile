LABEL beside=yes
