/* SPDX-License-Identifier: Apache-2.0 */
/* Civil dates by arithmetic (Gregorian calendar, no leap seconds, as Unix time has none). */
#include "controller/model/rfc3339.h"

#include <stdio.h>
#include <string.h>

#define MS_PER_SECOND   1000
#define SECONDS_PER_DAY 86400

/* Days since 1970-01-01 of a civil date; the year starts in March so that February is its end. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted_year = month <= 2 ? year - 1 : year;
    int64_t era = (shifted_year >= 0 ? shifted_year : shifted_year - 399) / 400;
    int64_t year_of_era = shifted_year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *out_year, int64_t *out_month, int64_t *out_day)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_index = (5 * day_of_year + 2) / 153;
    *out_day = day_of_year - (153 * month_index + 2) / 5 + 1;
    *out_month = month_index < 10 ? month_index + 3 : month_index - 9;
    *out_year = year_of_era + era * 400 + (*out_month <= 2 ? 1 : 0);
}

struct rfc3339 rfc3339_format(int64_t time_ms)
{
    int64_t seconds = time_ms / MS_PER_SECOND;
    int64_t days = seconds / SECONDS_PER_DAY;
    int64_t rest = seconds % SECONDS_PER_DAY;
    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        days--;
    }
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    civil_from_days(days, &year, &month, &day);
    struct rfc3339 out;
    snprintf(out.text, sizeof(out.text), "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month,
             (int)day, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    return out;
}

/* Reads exactly count digits at *cursor and moves past them and past the separator (0: none). */
static bool read_digits(const char **cursor, int count, char separator, int64_t *out)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        char digit = **cursor;
        if (digit < '0' || digit > '9') {
            return false;
        }
        value = value * 10 + (digit - '0');
        (*cursor)++;
    }
    if (separator != 0) {
        if (**cursor != separator) {
            return false;
        }
        (*cursor)++;
    }
    *out = value;
    return true;
}

/* Reads "Z" or "+hh:mm" into minutes east of UTC. */
static bool read_zone(const char *cursor, int64_t *out_minutes)
{
    if (*cursor == 'Z' || *cursor == 'z') {
        *out_minutes = 0;
        return cursor[1] == '\0';
    }
    int64_t sign = *cursor == '-' ? -1 : 1;
    if (*cursor != '+' && *cursor != '-') {
        return false;
    }
    cursor++;
    int64_t hours = 0;
    int64_t minutes = 0;
    if (!read_digits(&cursor, 2, ':', &hours) || !read_digits(&cursor, 2, 0, &minutes)) {
        return false;
    }
    *out_minutes = sign * (hours * 60 + minutes);
    return *cursor == '\0';
}

int64_t rfc3339_parse(const char *text)
{
    int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, zone = 0;
    if (text == NULL) {
        return 0;
    }
    const char *cursor = text;
    if (!read_digits(&cursor, 4, '-', &year) || !read_digits(&cursor, 2, '-', &month) ||
        !read_digits(&cursor, 2, 'T', &day) || !read_digits(&cursor, 2, ':', &hour) ||
        !read_digits(&cursor, 2, ':', &minute) || !read_digits(&cursor, 2, 0, &second)) {
        return 0;
    }
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) {
        return 0;
    }
    int64_t millis = 0;
    if (*cursor == '.') {
        int64_t scale = 100;
        for (cursor++; *cursor >= '0' && *cursor <= '9'; cursor++) {
            millis += (*cursor - '0') * scale;
            scale /= 10;
        }
    }
    if (!read_zone(cursor, &zone)) {
        return 0;
    }
    int64_t seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 +
                      (minute - zone) * 60 + second;
    return seconds * MS_PER_SECOND + millis;
}
