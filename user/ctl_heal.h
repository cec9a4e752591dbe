/* tern-ctl heal ARGS: its status. */
#pragma once

#include "lib/sys.h"

int ctl_heal(int argc, char **argv);
