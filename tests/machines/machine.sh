# Makes an ordinary machine out of this one: the first process of new mount and process namespaces. Then it runs the
# commands that it reads, one a line, and answers each with its output and "DONE <exit code>".
#
# /mnt/app       the program (folder $APP, read-only)
# /mnt/home      home folder of user $USER_ID, who is "anna" in /etc/passwd
# /mnt/out       folder for recordings and reports
# /mnt/run       folder for the socket
# /mnt/log       standard output and error of the program
# /tmp, /dev/shm empty
#
# Everything else of the real machine can be read as before, but not written. All that was mounted here is gone when this
# process ends.
set -eu
read -r outside _ < /proc/self/stat # this process's id outside of the namespace: /proc is still the old one
mount -t proc proc /proc
while read -r _ where _; do
  case $where in
    /proc | /proc/* | /sys/* | /dev | /dev/*) ;;
    *) mount -o remount,bind,ro "$where" ;;
  esac
done < /proc/mounts
mount -t tmpfs -o mode=755,size=512m mnt /mnt
mkdir /mnt/app /mnt/home /mnt/out /mnt/run /mnt/log
mount --bind "$APP" /mnt/app

# Other users can't enter the folders above $1, $2, ... ($CLOSED): replace each of them by a folder with only these paths.
number=0
for path in "$@"; do
  number=$((number + 1))
  mkdir "/mnt/shown$number"
  mount --bind "$path" "/mnt/shown$number"
done
for folder in $CLOSED; do
  mount -t tmpfs -o mode=755 shown "$folder"
done
number=0
for path in "$@"; do
  number=$((number + 1))
  mkdir -p "$path"
  mount --bind "/mnt/shown$number" "$path"
  umount "/mnt/shown$number"
  rmdir "/mnt/shown$number"
done
for folder in $CLOSED; do
  mount -o remount,bind,ro "$folder"
done

mount -t tmpfs -o mode=1777,size=64m tmp /tmp
mount -t tmpfs -o mode=1777,size=64m shm /dev/shm
{ cat /etc/passwd && echo "anna:x:$USER_ID:$USER_ID::/mnt/home:/bin/sh"; } > /mnt/log/passwd
mount --bind /mnt/log/passwd /etc/passwd
chown "$USER_ID:$USER_ID" /mnt/home /mnt/out /mnt/run
chmod 700 /mnt/home
echo "READY $outside"

while read -r line; do
  if eval "$line"; then echo "DONE 0"; else echo "DONE $?"; fi
done
