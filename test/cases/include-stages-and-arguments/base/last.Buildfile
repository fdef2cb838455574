LABEL built=yes
FROM scratch
COPY --from=build /version /
