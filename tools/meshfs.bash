# Completion of meshfs(1) for bash.  Commands, flags and mount options are asked of meshfs itself, so they are those of the
# installed version.
# shellcheck shell=bash

_meshfs_mounts() {
    awk '$3 == "fuse.meshfs" { gsub(/\\040/, " ", $2); print $2 }' /proc/mounts
}

# The last of "a,b=c,d": what stands before it is kept.
_meshfs_option() {
    local word=$1 before=
    [[ $word == *,* ]] && before=${word%,*},
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$(meshfs config options 2> /dev/null)" -- "${word##*,}")
}

_meshfs() {
    local current previous command=${COMP_WORDS[1]}
    # "=" is no end of a word here: "-o id=train" is one.
    if declare -F _get_comp_words_by_ref > /dev/null; then
        _get_comp_words_by_ref -n "=:" -c current -p previous
    else
        current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    fi
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(meshfs --help | awk '/^  / { print $1 }') --help --version" -- "$current")
    elif [ "$previous" = -o ]; then
        _meshfs_option "$current"
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(meshfs "$command" --help | grep -oE -- '(^|[ ,])--?[a-z][a-z-]*' | sort -u)" -- "$current")
    else
        case $command in
            plugin|config)
                if [ "$COMP_CWORD" = 2 ]; then
                    mapfile -t COMPREPLY < <(compgen -W "$(meshfs "$command" --help | awk '/^Subcommands/ { on = 1; next } /^[^ ]/ { on = 0 } on { print $1 }')" -- "$current")
                elif [ "$command" = plugin ]; then
                    mapfile -t COMPREPLY < <(compgen -W "$(meshfs plugin list 2> /dev/null | awk '/^  / { print $1 }')" -- "$current")
                else
                    compopt -o filenames
                    mapfile -t COMPREPLY < <(compgen -f -- "$current")
                fi ;;
            umount|abort)
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -W "$(_meshfs_mounts)" -- "$current") ;;
            *)
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -d -- "$current"; compgen -W "$(_meshfs_mounts)" -- "$current") ;;
        esac
    fi
}
complete -F _meshfs meshfs
