use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Show how the links of a slice fare and what was measured of them last
    List {
        /// Slice whose links are shown
        #[arg(long, value_name = "NAME")]
        slice: String,
    },
}
