/* Profiles (IN-6): a name for a set of default words of the command line. */
#pragma once

/* The one in use, by `profile=NAME` or by the build (TERN_PROFILE); "" without. */
const char *profile_name(void);
/* Profile number `index` and its words; null past the end. */
const char *profile_get(unsigned index, const char **words);
