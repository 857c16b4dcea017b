/* SPDX-License-Identifier: Apache-2.0 */
/* The proleptic Gregorian calendar from a count of days, without the C library's time zones. */
#include "controller/kube/timestamp.h"

#include <stdio.h>

#include "base/assert.h"

struct kube_timestamp kube_timestamp_micro(int64_t wall_ns)
{
    ASSERT(wall_ns >= 0);
    int64_t micros = wall_ns / 1000;
    int64_t seconds = micros / 1000000;
    /* Days are counted from 1 March of year 0, so that a leap day is the last of its year. */
    int64_t days = seconds / 86400 + 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    int64_t of_day = seconds % 86400;
    struct kube_timestamp out;
    snprintf(out.text, sizeof(out.text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year,
             (int)month, (int)day, (int)(of_day / 3600), (int)(of_day / 60 % 60),
             (int)(of_day % 60), (int)(micros % 1000000));
    return out;
}
