# /root/.profile of the guest while the boot is measured: the last that a login shell reads before its
# prompt. The emulator's counter sees the program start; the rest is for ./tern to read.
/bin/bench --exit
cat /proc/meminfo
dmesg | grep -e Memory: -e "Run /init"
echo bench-end
exit 0
