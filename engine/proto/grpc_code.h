/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC status codes, by their numbers on the wire (trailer grpc-status). */
#ifndef ENGINE_PROTO_GRPC_CODE_H
#define ENGINE_PROTO_GRPC_CODE_H

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

#define GRPC_CODE_COUNT 17

/* The name clients print ("InvalidArgument"); "Code(n)" values outside the table give "Unknown". */
const char *grpc_code_name(enum grpc_code code);

#endif
