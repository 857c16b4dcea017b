/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648), as strict and as lenient as Go's package of that name. Pure. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

/* How the text looks; a sum of bits. 0 is the standard alphabet without padding. */
enum base64_form {
    BASE64_URL = 1,    /* '-' and '_' (section 5) instead of '+' and '/' */
    BASE64_PADDED = 2, /* to a multiple of four with '=': no less, no more */
    BASE64_LINES = 4,  /* reading only: line ends are passed over anywhere */
};

/* Room that the decoded bytes of a text of that size need at most. */
#define BASE64_DECODED_MAX(text_size) ((text_size) / 4 * 3 + 3)

/* Appends data as text. */
void base64_encode(struct bytes data, unsigned form, struct buf *out);

/* Gives data as Kubernetes writes it in Secrets: standard alphabet, padded (mem_free). */
char *base64_text(struct bytes data);

/* Writes the bytes of text to out, which has room for BASE64_DECODED_MAX(text.size). False: it is
 * no base64 of that form; out then holds anything. Surplus bits of the last digit are not looked
 * at. */
bool base64_decode(struct bytes text, unsigned form, uint8_t *out, size_t *out_size);

/* The same, appended to out, which is as it was when this gives false. */
bool base64_append_decoded(struct bytes text, unsigned form, struct buf *out);

#endif
