# Sourced. `features --workspace` or `features NAME...`: all features of these packages for `cargo --features`, but those that need
# CUDA's compiler, which `--all-features` would ask for. No word if there are none.
features() {
    local all="harness/parquet svm/parquet bag/parquet bilstm/parquet transformer/parquet transformer/candle" feature found=
    for feature in $all; do
        case " $* " in
            *' --workspace '* | *" ${feature%/*} "*) found=$found,$feature ;;
        esac
    done
    [ -z "$found" ] || echo "--features ${found#,}"
}
