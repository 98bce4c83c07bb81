# Ends a cluster whose owner died: sh -c "$script" name DIRECTORY
#
# Each line on the input names the postmaster to end, 0 for none, or says
# "done". The end of the input means that the owner is gone.
directory=$1
last=0
while read -r line; do last=$line; done

case $last in
done) exit 0 ;;
[1-9]*)
	# An immediate shutdown: nobody needs the checkpoint, and the server still
	# removes its shared memory, which it could not after a SIGKILL.
	kill -QUIT "$last" 2>/dev/null
	tries=0
	while kill -0 "$last" 2>/dev/null && [ "$tries" -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -KILL "$last" 2>/dev/null
	;;
esac

# An initdb or a copy under way may still add files: it fails soon without its
# directory, so try again.
tries=0
until rm -rf "$directory" 2>/dev/null || [ "$tries" -ge 50 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
