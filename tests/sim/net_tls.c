/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody in these worlds speaks TLS: what base/tls gives members is not to be had here. */
#include "base/tls/tls.h"

#include "base/assert.h"

int tls_maker_new(const struct tls_config *config, struct tls_maker **out_maker, struct err *err)
{
    (void)config;
    (void)out_maker;
    return err_set(err, E_UNSUPPORTED, "a simulated network has no TLS");
}

void tls_maker_free(struct tls_maker *maker)
{
    ASSERT(maker == NULL);
}

const struct stream_transport_maker *tls_maker_seam(const struct tls_maker *maker)
{
    (void)maker;
    return NULL;
}

int tls_self_signed_make(const struct tls_self_signed *request, struct err *err)
{
    (void)request;
    return err_set(err, E_UNSUPPORTED, "a simulated network has no TLS");
}
