/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loopback addresses: the playground has 127.x.y.0/24 for nodes (1 to 100) and, in the two blocks
 * behind it, addresses of Pods and their private loopbacks. x and y come from the folder's name, so
 * that two playgrounds do not meet. An address is used again as late as possible.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define FIRST_X    16u
#define COUNT_X    224u
#define BLOCKS_Y   64u /* of four: nodes, Pods, loopbacks, spare */
#define PODS_MAX   254u
#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME  UINT64_C(0x100000001b3)

void addresses_init(struct kubelet *kubelet)
{
    uint64_t hash = FNV_OFFSET;
    for (const char *at = kubelet->dir; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * FNV_PRIME;
    }
    hash ^= hash >> 32;
    uint32_t x = FIRST_X + (uint32_t)(hash % COUNT_X);
    uint32_t y = 4u * (uint32_t)(hash / COUNT_X % BLOCKS_Y);
    kubelet->address_block = x << 8 | y;
    kubelet->address_next = 1;
}

void addresses_format(const struct kubelet *kubelet, uint32_t block, uint32_t host,
                      char out[ADDRESS_SIZE])
{
    snprintf(out, ADDRESS_SIZE, "127.%u.%u.%u", kubelet->address_block >> 8 & 255,
             (kubelet->address_block & 255) + block, host & 255);
}

static bool is_taken(const struct kubelet *kubelet, const char *address)
{
    for (const struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        if (strcmp(pod->ip, address) == 0) {
            return true;
        }
    }
    return false;
}

void addresses_give(struct kubelet *kubelet, struct pod *pod)
{
    char prefix[ADDRESS_SIZE];
    addresses_format(kubelet, 1, 0, prefix);
    size_t prefix_size = strlen(prefix) - 1;
    const char *old = json_path_str(pod->object, "status.podIP", "");
    uint32_t host = 0;
    if (strncmp(old, prefix, prefix_size) == 0 && !is_taken(kubelet, old)) {
        host = (uint32_t)strtoul(old + prefix_size, NULL, 10);
    }
    for (uint32_t tried = 0; host == 0 && tried < PODS_MAX; tried++) {
        uint32_t next = kubelet->address_next;
        kubelet->address_next = next % PODS_MAX + 1;
        char address[ADDRESS_SIZE];
        addresses_format(kubelet, 1, next, address);
        host = is_taken(kubelet, address) ? 0 : next;
    }
    if (host != 0) {
        addresses_format(kubelet, 1, host, pod->ip);
        addresses_format(kubelet, 2, host, pod->loopback);
    }
}
