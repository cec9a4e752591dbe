/* Included before everything in files whose code only the boot runs: it goes to .init.text, which is
 * given back when the boot has ended. */
#pragma clang section text = ".init.text"
