/* What the files of heal share. */
#pragma once

#include <heal/heal.h>

/* sources.c: what is watched without having registered */
void heal_add_subsystems(void);
void heal_watch_modules(void);
void heal_check_modules(void);
