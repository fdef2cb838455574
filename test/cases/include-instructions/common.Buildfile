# what all images have
ENV B=$A-fragment
LABEL by=fragment
RUN echo fragment \
  # why
  >> /log
COPY <<EOF /etc/motd
$B
EOF
