/* SPDX-License-Identifier: Apache-2.0 */
/* The paths of the gateway, with what they stand for. */
#ifndef ENGINE_RPC_GATEWAY_PATHS_H
#define ENGINE_RPC_GATEWAY_PATHS_H

#include <protobuf-c/protobuf-c.h>

struct gateway_path {
    const char *path; /* behind "/v3/" */
    const ProtobufCServiceDescriptor *service;
    const char *method;
};

/* NULL: there is no such path. */
const struct gateway_path *gateway_path_find(const char *path);

/* All of them, for tests. */
const struct gateway_path *gateway_path_at(unsigned index);

#endif
