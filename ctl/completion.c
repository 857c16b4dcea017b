/* SPDX-License-Identifier: Apache-2.0 */
/* Completion for bash and zsh, generated from the tables. zsh runs the script of bash. */
#include <string.h>

#include "base/alloc.h"
#include "ctl/command.h"

/* A function name may hold no dash. */
static char *function_of(const char *program)
{
    char *name = str_printf("_%s", program);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '-' || *at == ' ' ? '_' : *at;
    }
    return name;
}

/* First words, each once. */
static void first_words(const struct ctl_command *commands, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(commands[i].path, " ");
        if (i == 0 || strncmp(commands[i - 1].path, commands[i].path, size) != 0 ||
            strcspn(commands[i - 1].path, " ") != size) {
            buf_printf(out, " %.*s", (int)size, commands[i].path);
        }
    }
}

static void group_cases(const struct ctl_command *commands, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(commands[i].path, " ");
        bool is_first = i == 0 || strncmp(commands[i - 1].path, commands[i].path, size) != 0;
        if (commands[i].path[size] == '\0' || !is_first) {
            continue;
        }
        buf_printf(out, "        \"%.*s\") words=\"", (int)size, commands[i].path);
        for (size_t k = i; k < count && strncmp(commands[k].path, commands[i].path, size) == 0 &&
                           commands[k].path[size] == ' ';
             k++) {
            buf_printf(out, "%s%s", k == i ? "" : " ", commands[k].path + size + 1);
        }
        buf_append_str(out, "\" ;;\n");
    }
}

static void command_cases(const struct ctl_command *commands, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = commands[i].path;
        buf_printf(out, "        \"%s\"", path);
        if (strchr(path, ' ') == NULL) { /* its arguments look like words of a path */
            buf_printf(out, " | \"%s \"*", path);
        }
        buf_append_str(out, ") words=\"");
        for (size_t k = 0; k < CTL_FLAG_COUNT; k++) {
            if ((CTL_FLAGS[k].groups & (commands[i].groups | CTL_FLAGS_ALL)) != 0) {
                buf_printf(out, "--%s ", CTL_FLAGS[k].name);
            }
        }
        buf_append_str(out, "\"");
        if (commands[i].complete == CTL_COMPLETE_FILE) {
            buf_append_str(out, "; files=yes");
        }
        buf_append_str(out, " ;;\n");
    }
}

static bool takes_value(size_t row)
{
    for (size_t k = 0; k < row; k++) {
        if (strcmp(CTL_FLAGS[k].name, CTL_FLAGS[row].name) == 0) {
            return false; /* told already */
        }
    }
    return CTL_FLAGS[row].type != FLAG_BOOL;
}

/* What may follow a flag that takes a value. */
static void flag_cases(struct buf *out)
{
    static const char *const ACTIONS[] = {
        [CTL_COMPLETE_NONE] = "return",
        [CTL_COMPLETE_FILE] = "COMPREPLY=($(compgen -f -- \"$now\")); return",
        [CTL_COMPLETE_DIR] = "COMPREPLY=($(compgen -d -- \"$now\")); return",
        [CTL_COMPLETE_FORMAT] =
            "COMPREPLY=($(compgen -W \"simple json fields table\" -- \"$now\")); return",
    };
    for (size_t i = 0; i < CTL_FLAG_COUNT; i++) {
        if (takes_value(i)) {
            buf_printf(out, "        --%s%s) %s ;;\n", CTL_FLAGS[i].name,
                       CTL_FLAGS[i].complete == CTL_COMPLETE_FORMAT ? "|-w" : "",
                       ACTIONS[CTL_FLAGS[i].complete]);
        }
    }
}

int ctl_completion(const struct ctl_command *commands, size_t command_count, const char *shell,
                   const char *program, struct buf *out, struct err *err)
{
    bool is_zsh = strcmp(shell, "zsh") == 0;
    if (!is_zsh && strcmp(shell, "bash") != 0) {
        return err_set(err, E_INVALID, "completion is there for bash and zsh, not for \"%.20s\"",
                       shell);
    }
    char *function = function_of(program);
    buf_printf(out, "%s# Completion of %s for %s: %s completion %s\n",
               is_zsh ? "#compdef quoratectl\nautoload -U +X bashcompinit && bashcompinit\n" : "",
               program, shell, program, shell);
    buf_printf(
        out,
        "%s() {\n"
        "    local now=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
        "    local words=\"\" files=\"\" path=\"\" word at\n"
        "    COMPREPLY=()\n"
        "    case \"$before\" in\n",
        function);
    flag_cases(out);
    buf_append_str(out, "    esac\n    local valued=\" -w ");
    for (size_t i = 0; i < CTL_FLAG_COUNT; i++) {
        if (takes_value(i)) {
            buf_printf(out, "--%s ", CTL_FLAGS[i].name);
        }
    }
    buf_append_str(out, "\"\n"
                        "    for ((at = 1; at < COMP_CWORD; at++)); do\n"
                        "        word=\"${COMP_WORDS[at]}\"\n"
                        "        case \"$word\" in -*) continue ;; esac\n"
                        "        case \"$valued\" in *\" ${COMP_WORDS[at-1]} \"*) continue ;; "
                        "esac\n"
                        "        case \"$path\" in\n"
                        "        \"\") path=\"$word\" ;;\n"
                        "        *\" \"*) ;;\n"
                        "        *) path=\"$path $word\" ;;\n"
                        "        esac\n"
                        "    done\n"
                        "    case \"$path\" in\n"
                        "        \"\") words=\"");
    first_words(commands, command_count, out);
    buf_append_str(out, "\" ;;\n");
    group_cases(commands, command_count, out);
    command_cases(commands, command_count, out);
    buf_printf(out,
               "    esac\n"
               "    COMPREPLY=($(compgen -W \"$words\" -- \"$now\"))\n"
               "    if [ -n \"$files\" ] && [ \"${now:0:1}\" != - ]; then\n"
               "        COMPREPLY+=($(compgen -f -- \"$now\"))\n"
               "    fi\n"
               "}\n"
               "complete -o filenames -F %s %s\n",
               function, program);
    mem_free(function);
    return 0;
}
