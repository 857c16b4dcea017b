/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as Go's crc32.Update: crc is the value after the bytes before, 0 at first.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/defs.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
