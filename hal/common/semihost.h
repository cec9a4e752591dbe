/* Arm semihosting (Arm IHI 0100): only under an emulator or debugger that offers it. */
#pragma once

void semihost_exit(int status); /* ends the emulator; an undefined instruction elsewhere */
