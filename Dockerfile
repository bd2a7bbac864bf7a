# Built in one stage, run in another without compiler, npm and sources; as a user without rights.

FROM node:20-bookworm AS build
WORKDIR /martlet
# node-gyp finds the headers that came with this Node, so that nothing is downloaded.
ENV npm_config_nodedir=/usr/local
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/build.js && node scripts/prebuild.js && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:20-bookworm-slim
RUN groupadd --system martlet && useradd --system --gid martlet --home-dir /var/lib/martlet --create-home martlet
WORKDIR /martlet
COPY --from=build /martlet/package.json ./
COPY --from=build /martlet/bin bin
COPY --from=build /martlet/dist/src dist/src
COPY --from=build /martlet/dist/conformance dist/conformance
COPY --from=build /martlet/prebuilds prebuilds
COPY --from=build /martlet/docs docs
COPY --from=build /martlet/node_modules node_modules
COPY docker/martlet.yaml /etc/martlet/martlet.yaml
USER martlet
WORKDIR /var/lib/martlet
VOLUME /var/lib/martlet
EXPOSE 1883
STOPSIGNAL SIGTERM
# A CONNECT that is answered with CONNACK: the broker serves, not only listens.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["node", "/martlet/bin/martlet.js", "ping"]
ENTRYPOINT ["node", "/martlet/bin/martlet.js"]
CMD ["--config", "/etc/martlet/martlet.yaml"]
