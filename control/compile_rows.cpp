// Rows of the compiler's lookup structures, as they are shown. Compiler thread only.
#include <limits>

#include "control/compile_state.hpp"
#include "control/table_rows.hpp"

namespace sekisho::control {

namespace {

using dataplane::Nexthop;
using Table = RowQuestion::Table;

const char* word_of(Nexthop::Kind kind) {
    switch (kind) {
        case Nexthop::Kind::gateway: return "gateway";
        case Nexthop::Kind::tunnel: return "tunnel";
        case Nexthop::Kind::connected: return "connected";
        case Nexthop::Kind::group: return "group";
        case Nexthop::Kind::blackhole: break;
    }
    return "blackhole";
}

template <class Address>
class Shown {
  public:
    Shown(const Compiler& compiler, const dataplane::TableParts& tables, const dataplane::FamilyTables<Address>& family,
          RowQuestion::Table table)
        : compiler_(compiler), tables_(tables), family_(family), table_(table) {}

    TableRow row(const lpm::Route<Address>& route) const {
        TableRow shown;
        shown.prefix = route.prefix;
        shown.number = route.row;
        switch (table_) {
            case Table::who: add_who(shown, route); break;
            case Table::hub: add_hub(shown, route); break;
            case Table::where: add_way(shown, NexthopId(route.row)); break;
        }
        return shown;
    }

  private:
    void add_who(TableRow& shown, const lpm::Route<Address>& route) const {
        const dataplane::WhoRow<Address>& row = family_.who_rows.at(route.row);
        shown.institution = compiler_.institution_name(row.institution);
        shown.port_block = row.is_behind();
        if (!shown.port_block)
            shown.other_side = Prefix<Address>(row.to_hub.apply(route.prefix.address()), route.prefix.length());
    }
    void add_hub(TableRow& shown, const lpm::Route<Address>& route) const {
        const dataplane::HubRow<Address>& row = family_.hub_rows.at(route.row);
        shown.operator_id = compiler_.vrf_name(row.vrf);
        shown.port_block = row.is_pool();
        if (!shown.port_block) {
            shown.institution = compiler_.institution_name(row.institution);
            shown.other_side = Prefix<Address>(row.to_operator.apply(route.prefix.address()), route.prefix.length());
        }
        add_way(shown, row.nexthop);
    }
    void add_way(TableRow& shown, NexthopId id) const {
        if (id == dataplane::kResolve) {
            shown.way = "resolve";
            return;
        }
        const Nexthop& nexthop = tables_.nexthops.at(id.index());
        shown.way = word_of(nexthop.kind);
        if (nexthop.kind == Nexthop::Kind::blackhole || nexthop.kind == Nexthop::Kind::group) return;
        shown.attachment = compiler_.attachment_name(nexthop.attachment);
        if (nexthop.kind != Nexthop::Kind::gateway) return;
        if (nexthop.family == Family::ipv4)
            shown.gateway = nexthop.gateway4;
        else
            shown.gateway = nexthop.gateway6;
    }

    const Compiler& compiler_;
    const dataplane::TableParts& tables_;
    const dataplane::FamilyTables<Address>& family_;
    RowQuestion::Table table_;
};

template <class Address>
Expected<TableRows> rows_of(const RowQuestion& question, lpm::TableId table, const lpm::Fib<Address>& fib,
                            const Shown<Address>& shown) {
    TableRows result;
    result.size = fib.size(table);
    if (question.exact) {
        const Prefix<Address>& prefix = of_family<Address>(*question.exact);
        const auto row = fib.exact(table, prefix);
        if (!row) return Error{ErrorCode::not_found, "no row has just the prefix " + prefix.text()};
        result.rows.push_back(shown.row({prefix, *row}));
        return result;
    }
    const Prefix<Address> from = question.after ? of_family<Address>(*question.after) : Prefix<Address>();
    fib.for_each_from(table, from, [&](const lpm::Route<Address>& route) {
        if (question.after && route.prefix == from) return true;
        result.more = result.rows.size() == question.limit;
        if (!result.more) result.rows.push_back(shown.row(route));
        return !result.more;
    });
    return result;
}

}  // namespace

Expected<TableRows> Compiler::rows(const Policy& policy, std::uint64_t generation,
                                   std::chrono::system_clock::time_point now, const NamesByHand& closed_agreements,
                                   const RowQuestion& question) {
    // What was compiled last may be a trial: a dry run, or a commit that was refused afterwards.
    if (!state_->basis || state_->basis->tables.generation != generation)
        if (auto compiled = compile(policy, generation, now, closed_agreements); !compiled) return compiled.error();
    const State::Basis& basis = *state_->basis;
    lpm::TableId table{0};
    if (question.table != Table::hub) {
        const auto vrf = basis.numbers.operators.number_of(question.operator_id);
        if (!vrf) return vrf.error();
        table = static_cast<lpm::TableId>(*vrf);
    }
    const auto answer = [&](const auto& family, const auto& lookups) {
        return rows_of(question, table,
                       question.table == Table::who   ? lookups.who()
                       : question.table == Table::hub ? lookups.hub()
                                                      : lookups.where(),
                       Shown(*this, basis.tables, family, question.table));
    };
    auto rows = question.family == Family::ipv4 ? answer(basis.tables.ipv4, state_->ipv4)
                                                : answer(basis.tables.ipv6, state_->ipv6);
    if (rows) rows->generation = generation;
    return rows;
}

}  // namespace sekisho::control
