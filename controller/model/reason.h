/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set of reasons: what a condition, an event or a member row may say in one CamelCase
 * word. Each is listed in docs/reference/etcdcluster.md with what a person does about it (tested).
 */
#ifndef CONTROLLER_MODEL_REASON_H
#define CONTROLLER_MODEL_REASON_H

#include "base/defs.h"

#define CONDITION_REASONS(X)                                                                       \
    X(AsExpected)                                                                                  \
    X(Paused)                                                                                      \
    X(NotPaused)                                                                                   \
    X(Deleting)                                                                                    \
    X(InvalidSpec)                                                                                 \
    X(TLSModeChanged)                                                                              \
    X(TLSDisabled)                                                                                 \
    X(CertificatesPending)                                                                         \
    X(CertificatesNotRead)                                                                         \
    X(CertificateExpiring)                                                                         \
    X(CertificateExpired)                                                                          \
    X(SecretNotFound)                                                                              \
    X(SecretNotUsable)                                                                             \
    X(SecretNotOurs)                                                                               \
    X(AuthorityNotFound)                                                                           \
    X(RotatingAuthority)                                                                           \
    X(EngineNotSupported)                                                                          \
    X(Bootstrapping)                                                                               \
    X(BootstrapFailed)                                                                             \
    X(NotBootstrapped)                                                                             \
    X(WaitingForOldVolumes)                                                                        \
    X(Serving)                                                                                     \
    X(NotServing)                                                                                  \
    X(NotProbed)                                                                                   \
    X(QuorumLost)                                                                                  \
    X(AllMembersLost)                                                                              \
    X(QuorumAtRisk)                                                                                \
    X(MembersUnhealthy)                                                                            \
    X(MembersMissing)                                                                              \
    X(ClusterIDMismatch)                                                                           \
    X(ForeignMember)                                                                               \
    X(NoSpace)                                                                                     \
    X(DataCorrupt)                                                                                 \
    X(ScalingUp)                                                                                   \
    X(ScalingDown)                                                                                 \
    X(ScaleUpFailed)                                                                               \
    X(ClusterVersionTooHigh)                                                                       \
    X(Replacing)                                                                                   \
    X(Recreating)                                                                                  \
    X(Updating)                                                                                    \
    X(UpdateHalted)                                                                                \
    X(Converging)                                                                                  \
    X(ReplacementThrottled)                                                                        \
    X(ManualRepairNeeded)                                                                          \
    X(ProgressDeadlineExceeded)                                                                    \
    X(OutOfMemory)                                                                                 \
    X(ImagePullFailed)                                                                             \
    X(Unschedulable)                                                                               \
    X(SpreadSatisfied)                                                                             \
    X(SpreadViolated)                                                                              \
    X(SpreadUnknown)                                                                               \
    X(OutdatedPods)                                                                                \
    X(EvenMemberCount)

enum condition_reason {
#define X(name) REASON_##name,
    CONDITION_REASONS(X)
#undef X
        REASON_COUNT
};

/* The CamelCase word; never NULL. */
const char *reason_text(enum condition_reason reason);

#endif
